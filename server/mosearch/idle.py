"""Whether this is a moment for work that nobody waits for."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

_POWER = Path("/sys/class/power_supply")
_PRESSURE = Path("/proc/pressure/cpu")


def reason_to_wait(load_percent: int, *, power: Path = _POWER, pressure: Path = _PRESSURE) -> str:
    """`battery` or `load` while this machine runs on battery or others use it; empty when neither.

    `load_percent` is the load average, as a share of the cores, above which the machine counts as in
    use; where the kernel tells how long tasks waited for a core (Linux: PSI), half of it is the largest
    share of the last ten seconds.
    """
    if _on_battery(power):
        return "battery"
    return "load" if _is_busy(load_percent, pressure) else ""


def _on_battery(power: Path) -> bool:
    if power.is_dir():
        # Those of scope "Device" are mice and headsets.
        supplies = [supply for supply in power.iterdir() if _read(supply / "scope") != "Device"]
        kinds = {supply: _read(supply / "type") for supply in supplies}
        if any(kind in ("Mains", "USB") and _read(s / "online") == "1" for s, kind in kinds.items()):
            return False
        return any(kind == "Battery" and _read(s / "status") == "Discharging" for s, kind in kinds.items())
    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    return battery is not None and battery.power_plugged is False


def _is_busy(load_percent: int, pressure: Path) -> bool:
    for field in _read(pressure).split():
        if field.startswith("avg10="):
            return float(field.removeprefix("avg10=")) > load_percent / 2
    try:
        load = os.getloadavg()[0]
    except (AttributeError, OSError):  # Windows has none
        return False
    return 100 * load / (os.cpu_count() or 1) > load_percent


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace").strip()
    except OSError:
        return ""
