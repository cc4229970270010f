"""Packages of public registries: fetched through their own clients, read without unpacking or running."""

from mosearch.registries.archives import archive_version, is_archive, members
from mosearch.registries.clients import CLIENTS, fetch, known_to_apt

__all__ = ["CLIENTS", "archive_version", "fetch", "is_archive", "known_to_apt", "members"]
