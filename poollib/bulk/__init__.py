"""Many requests to many hosts: any number of them, politely, each with one result, going on where a run was killed."""

from .requests import BulkRequest as BulkRequest
from .requests import Progress as Progress
from .requests import Result as Result
from .run import fetch as fetch

__all__ = ["BulkRequest", "Progress", "Result", "fetch"]
