"""A process that forks after an optimizer was used, as servers with preloaded workers do, goes on in the child."""

import os
import subprocess
import sys
import textwrap

import pytest

from fipo_model import PromptOptimizer
from fipo_model.backends.coalesce import CoalescingGenerator
from fipo_model.testing import ScriptedGenerator

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

PRELUDE = """
    import asyncio, copy, os, pickle, signal, sys, threading, time, warnings

    from fipo_model import PromptOptimizer
    from fipo_model.backends.coalesce import CoalescingGenerator
    from fipo_model.testing import ScriptedGenerator

    signal.alarm(30)  # whatever hangs ends here
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # later Pythons warn of threads at a fork
    parent = os.getpid()
    entered, leave = threading.Event(), threading.Event()

    def script(conversation):
        text = conversation[-1]["content"]
        if "slowly" in text and os.getpid() == parent:
            entered.set()
            leave.wait(20)
        naive = text.removeprefix("Naive prompt:\\n").rpartition("\\n\\nRewrite the naive prompt")[0]
        return naive + " Answer in plain sentences and give a reason."

    def better(prompt):
        return prompt + " Answer in plain sentences and give a reason."

    generator = ScriptedGenerator(script)
    optimizer = PromptOptimizer(CoalescingGenerator(generator))

    def in_child(work):
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            try:
                work()
            except BaseException as error:
                print("child:", repr(error), file=sys.stderr, flush=True)
                os._exit(1)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def check():
        assert optimizer.optimize("Explain the tides.").text == better("Explain the tides.")
        assert asyncio.run(optimizer.aoptimize("Describe an otter.")).text == better("Describe an otter.")
        for number in range(3):  # remembered, new, and again under asyncio
            assert optimizer.optimize(f"Name {number} birds.").text == better(f"Name {number} birds.")

        async def many():
            return await asyncio.gather(*(optimizer.aoptimize(f"Draw {n} fish.") for n in range(9)))

        assert [each.text for each in asyncio.run(many())] == [better(f"Draw {n} fish.") for n in range(9)]
"""


def outcome_of(script: str) -> str:
    """What a process that runs the script says; fails where it fails or hangs."""
    code = textwrap.dedent(PRELUDE) + textwrap.dedent(script)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False, start_new_session=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class TestInTheChild:
    def test_an_optimizer_used_before_works_on(self):
        script = """
            check()
            assert in_child(check) == 0
            optimizer.optimize("Sing a song.")
            print("done")
        """
        assert outcome_of(script) == "done"

    def test_it_does_so_though_another_thread_led_a_batch_and_more_waited(self):
        script = """
            asyncio.run(optimizer.aoptimize("Explain rain."))
            leader = threading.Thread(target=optimizer.optimize, args=("Explain it slowly.",), daemon=True)
            leader.start()
            assert entered.wait(10)
            waiting = [threading.Thread(target=optimizer.optimize, args=(f"Wait {n} days.",)) for n in range(3)]
            for thread in waiting:
                thread.start()
            while len(optimizer.rewriter.generator._waiting) < 4:
                time.sleep(0.001)
            assert in_child(check) == 0
            leave.set()
            for thread in (leader, *waiting):
                thread.join(10)
            assert not any(thread.is_alive() for thread in (leader, *waiting))
            assert optimizer.optimize("Explain it slowly.").text == better("Explain it slowly.")
            assert optimizer.optimize("Wait 2 days.").text == better("Wait 2 days.")
            print("done")
        """
        assert outcome_of(script) == "done"

    @pytest.mark.parametrize("lock", ["optimizer._memo_lock", "optimizer.rewriter.generator._turn"])
    def test_it_does_so_though_another_thread_held_a_lock(self, lock: str):
        script = f"""
            check()

            def hold():
                with {lock}:
                    entered.set()
                    leave.wait(20)

            holder = threading.Thread(target=hold, daemon=True)
            holder.start()
            assert entered.wait(10)
            assert in_child(check) == 0
            leave.set()
            holder.join(10)
            check()
            print("done")
        """
        assert outcome_of(script) == "done"

    def test_copies_and_what_was_read_back_work_on_as_well(self):
        script = """
            asyncio.run(optimizer.aoptimize("Explain rain."))
            copies = [copy.copy(optimizer), copy.deepcopy(optimizer)]
            entered.clear()

            def hold():
                with copies[0]._memo_lock, copies[1]._memo_lock, optimizer.rewriter.generator._turn:
                    entered.set()
                    leave.wait(20)

            threading.Thread(target=hold, daemon=True).start()
            assert entered.wait(10)

            def work():
                global optimizer
                for optimizer in copies:
                    check()

            assert in_child(work) == 0
            leave.set()
            print("done")
        """
        assert outcome_of(script) == "done"

    def test_what_was_remembered_is_remembered(self):
        script = """
            optimizer.optimize("Explain rain.")
            before = len(generator.calls)

            def work():
                assert optimizer.optimize("Explain rain.").text == better("Explain rain.")
                assert len(generator.calls) == before

            assert in_child(work) == 0
            print("done")
        """
        assert outcome_of(script) == "done"

    def test_a_grandchild_works_as_well(self):
        script = """
            check()

            def work():
                check()
                assert in_child(check) == 0

            assert in_child(work) == 0
            print("done")
        """
        assert outcome_of(script) == "done"

    def test_langchains_part_works_on(self):
        pytest.importorskip("langchain_core")
        script = """
            from langchain_core.prompts import PromptTemplate
            from fipo_integrations.langchain import FIPORunnable

            chain = PromptTemplate.from_template("Explain {topic}.") | FIPORunnable(optimizer=optimizer)
            assert asyncio.run(chain.ainvoke({"topic": "rain"})).text == better("Explain rain.")

            def work():
                assert chain.invoke({"topic": "snow"}).text == better("Explain snow.")
                assert asyncio.run(chain.ainvoke({"topic": "hail"})).text == better("Explain hail.")
                batch = chain.batch([{"topic": "fog"}, {"topic": "dew"}])
                assert [value.text for value in batch] == [better("Explain fog."), better("Explain dew.")]

            assert in_child(work) == 0
            print("done")
        """
        assert outcome_of(script) == "done"


class TestInTheParent:
    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # later Pythons warn of threads at a fork
    def test_a_fork_changes_nothing(self):
        generator = ScriptedGenerator(lambda conversation: "Explain the tides in plain sentences.")
        optimizer = PromptOptimizer(CoalescingGenerator(generator))
        optimizer.optimize("Explain the tides.")
        before = (optimizer._memo_lock, optimizer.rewriter.generator._turn, optimizer._callers._pool)
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        assert (optimizer._memo_lock, optimizer.rewriter.generator._turn, optimizer._callers._pool) == before
        optimizer.optimize("Explain the tides.")
        assert len(generator.calls) == 1

    def test_what_is_gone_is_not_kept_alive(self):
        import gc

        from fipo_model import forking

        optimizer = PromptOptimizer(ScriptedGenerator(lambda conversation: ""))
        assert optimizer in forking._alive
        marked = id(optimizer)
        del optimizer
        gc.collect()
        assert marked not in {id(each) for each in forking._alive}
