"""The one exception that concerto raises for a fault the user can mend."""

from __future__ import annotations


class ConcertoError(Exception):
    """A fault in the input, configuration or use of the model, with advice.

    Parameters
    ----------
    message : str
        One sentence: what is wrong, and where (file, variable, first time, count).
    hint : str, optional
        One sentence: what to do about it.

    Notes
    -----
    The command line prints both and ends with exit code 2. ``str(error)`` gives
    the message, followed by the hint on its own line when there is one.

    Examples
    --------
    >>> error = ConcertoError("site.nc: Tair is missing.", hint="Add it, in K.")
    >>> error.hint
    'Add it, in K.'
    """

    def __init__(self, message: str, hint: str | None = None):
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        if self.hint:
            return f"{self.message}\nHint: {self.hint}"
        return self.message

    def __reduce__(self):
        # Keeps the hint when a worker process sends the error back.
        return (type(self), (self.message, self.hint))
