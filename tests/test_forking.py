"""A process that forks after an optimizer was used, as servers with preloaded workers do, goes on in the child."""

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import weakref
from pathlib import Path

import pytest

from fipo_model import PromptOptimizer, callers, optimizer
from fipo_model.backends.batching import BatchingGenerator
from fipo_model.testing import ScriptedGenerator

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

PRELUDE = """
    import asyncio, copy, os, pickle, signal, sys, threading, time, warnings

    from fipo_model import PromptOptimizer, optimizer as memory
    from fipo_model.backends.batching import BatchingGenerator
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
    optimizer = PromptOptimizer(BatchingGenerator(generator))
    engine = optimizer.rewriter.generator._engine

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

    def test_it_does_so_though_the_model_was_at_work_and_more_waited(self):
        script = """
            asyncio.run(optimizer.aoptimize("Explain rain."))
            leader = threading.Thread(target=optimizer.optimize, args=("Explain it slowly.",), daemon=True)
            leader.start()
            assert entered.wait(10)
            waiting = [threading.Thread(target=optimizer.optimize, args=(f"Wait {n} days.",)) for n in range(3)]
            for thread in waiting:
                thread.start()
            while len(engine._threads.waiting) < 3:
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

    @pytest.mark.parametrize("lock", ["memory._memo_lock.value", "engine._threads.lock", "engine._threads.turn"])
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
                with memory._memo_lock.value, engine._threads.lock, engine._threads.turn:
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
        made = PromptOptimizer(BatchingGenerator(generator))
        made.optimize("Explain the tides.")
        asyncio.run(made.aoptimize("Explain rain."))

        def threads_and_locks() -> tuple[object, ...]:
            return (optimizer._memo_lock.value, made.rewriter.generator._engine._threads, dict(callers._pools.value))

        before = threads_and_locks()
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        assert threads_and_locks() == before
        made.optimize("Explain the tides.")
        assert len(generator.calls) == 2

    def test_what_is_gone_is_not_kept_alive(self):
        made = PromptOptimizer(BatchingGenerator(ScriptedGenerator(lambda conversation: "")))
        made.optimize("Explain the tides.")
        parts = weakref.WeakSet([made, made.rewriter.generator, made.rewriter.generator._engine._threads])
        del made
        gc.collect()
        assert not parts


def test_a_server_is_asked_in_the_child_though_every_request_the_parent_may_make_was_under_way():
    script = """
        import json
        from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

        from fipo_model.backends.openai import OpenAIGenerator

        os.environ["NO_PROXY"] = "127.0.0.1"

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"]
                said = {"role": "assistant", "content": script(asked)}
                choice = {"index": 0, "finish_reason": "stop", "message": said}
                data = json.dumps({"id": "1", "object": "chat.completion", "created": 0, "model": "m",
                                   "choices": [choice], "usage": None}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        served = OpenAIGenerator(f"http://127.0.0.1:{server.server_port}/v1", name="m", concurrency=1)
        optimizer = PromptOptimizer(served)
        check()
        parent_asks = threading.Thread(target=optimizer.optimize, args=("Explain it slowly.",), daemon=True)
        parent_asks.start()
        assert entered.wait(10)

        def work():
            assert optimizer.optimize("Explain hail.").text == better("Explain hail.")

        assert in_child(work) == 0
        leave.set()
        parent_asks.join(10)
        assert optimizer.optimize("Explain it slowly.").text == better("Explain it slowly.")
        print("done")
    """
    assert outcome_of(script) == "done"


@pytest.mark.tiny
def test_a_model_that_was_used_goes_on_in_the_child_on_one_thread(tiny_model: Path):
    script = f"""
        from fipo_model.backends.opening import open_generator, open_scorer
        from fipo_model.generation import Sampling

        import torch

        torch.set_num_threads(2)
        ask = [[dict(role="user", content="Name a colour.")]]
        model, scorer = open_generator({str(tiny_model)!r}), open_scorer({str(tiny_model)!r})
        expected = model.generate(ask, Sampling(max_new_tokens=6)), scorer.log_likelihoods([(ask[0], "Blue.")])
        assert torch.get_num_threads() == 2

        def work():
            assert torch.get_num_threads() == 1
            found = model.generate(ask, Sampling(max_new_tokens=6)), scorer.log_likelihoods([(ask[0], "Blue.")])
            assert found[0] == expected[0] and abs(found[1][0] - expected[1][0]) < 1e-4

        assert in_child(work) == 0
        assert torch.get_num_threads() == 2
        print("done")
    """
    assert outcome_of(script) == "done"


@pytest.mark.tiny
def test_a_child_that_loads_the_model_itself_uses_all_threads(tiny_model: Path):
    script = f"""
        from fipo_model.backends.opening import open_generator
        from fipo_model.generation import Sampling
        import fipo_model.backends.transformers.generator
        import torch

        torch.set_num_threads(2)

        def work():
            model = open_generator({str(tiny_model)!r})
            assert model.loaded.run(torch.get_num_threads) == 2

        assert in_child(work) == 0
        print("done")
    """
    assert outcome_of(script) == "done"
