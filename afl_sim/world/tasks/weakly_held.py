"""What objects need so that they can be referred to weakly."""

from __future__ import annotations


class WeaklyHeld:
    """The base of classes whose objects are keys of weak dictionaries.

    This module is never compiled: objects of compiled classes cannot be referred to weakly, unless
    they have a base that is not compiled.
    """

    __slots__ = ()
