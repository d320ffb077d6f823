"""Messages where users of DSPy see them: beside DSPy's own, unless the application has a log of its own."""

import logging


class BesideDSPy(logging.Handler):
    """Hands messages to DSPy's handler, which shows them on stderr and which `dspy.disable_logging()` silences.

    Where the root logger has handlers, the application decides what to show, and nothing is shown twice.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Show a message."""
        if not logging.getLogger().handlers:
            logging.getLogger("dspy").handle(record)


def show_messages() -> None:
    """Show FIPO's messages from "info" up, as DSPy does with its own, unless somebody has configured the logger."""
    logger = logging.getLogger("fipo.dspy")
    if logger.level == logging.NOTSET and not logger.handlers:
        logger.setLevel(logging.INFO)
        logger.addHandler(BesideDSPy())
