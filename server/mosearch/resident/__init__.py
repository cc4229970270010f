"""A process that keeps one workspace's index open between commands, so that each is answered at once.

It is the command line's own engine in another process: the same requests, the same answers.  Importing this
package is cheap; what opens an index is imported when it is needed.
"""

from mosearch.resident.client import ask, start
from mosearch.resident.requests import Request

__all__ = ["Request", "ask", "start"]
