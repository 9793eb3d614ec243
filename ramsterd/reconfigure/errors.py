"""The one error of a change that the running daemon can't follow."""


class CannotApply(Exception):
    """A change was judged to be applicable, and is not.

    Nothing has changed.  The message is for the operator.
    """
