"""A browser that Debian brings, as the report's tests use it."""

from tests.report.conftest import page

__all__ = ["page"]
