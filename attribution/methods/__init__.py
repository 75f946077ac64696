"""Attribution methods: which tokens the target of a text rests on, by one signature."""

from .registry import METHODS, Method, unusable

__all__ = ["METHODS", "Method", "unusable"]
