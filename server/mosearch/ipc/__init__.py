"""How processes of one user find each other: private folders, sockets that nobody else can use, processes of
their own.  Knows nothing of what is said over them."""

from mosearch.ipc.address import Address, read_address, write_address
from mosearch.ipc.listening import listen, remove_socket
from mosearch.ipc.places import RUNTIME_VARIABLE, address_path, log_folder, runtime_folder
from mosearch.ipc.spawn import log_tail, spawn

__all__ = [
    "RUNTIME_VARIABLE",
    "Address",
    "address_path",
    "listen",
    "log_folder",
    "log_tail",
    "read_address",
    "remove_socket",
    "runtime_folder",
    "spawn",
    "write_address",
]
