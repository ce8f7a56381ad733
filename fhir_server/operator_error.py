"""Failures that the person who runs the server can put right."""


class OperatorError(Exception):
    """Something outside the program is wrong.

    The message is one plain line: what is wrong, then what to do. The command line prints it to
    standard error without a traceback and ends with exit code 2.
    """
