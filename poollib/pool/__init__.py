"""Generic lending: pools of any kind of connection.

This package lends connections and takes them back, for HTTP as for anything else; it leaves what a connection
speaks to the factory.  ``core`` holds the pool of one endpoint.
"""

from poollib.pool.budget import Budget
from poollib.pool.core import EndpointPool, Factory
from poollib.pool.ledger import State
from poollib.pool.stats import PoolStats

__all__ = ["Budget", "EndpointPool", "Factory", "PoolStats", "State"]
