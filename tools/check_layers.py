#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Refuses an include from one room of src/ to another that LAYERS does not allow, and an include of a room that LAYERS does not know."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def read_layers():
    allowed = {}
    for line in (ROOT / "LAYERS").read_text().splitlines():
        line = line.split("#")[0].strip()
        if line:
            room, rooms = line.split(":")
            allowed[room.strip()] = set(rooms.split()) | {room.strip()}
    return allowed


def main():
    allowed = read_layers()
    problems = []
    for path in sorted((ROOT / "src").rglob("*.[ch]")):
        room = path.relative_to(ROOT / "src").parts[0]
        if path.parent == ROOT / "src":
            continue  # main.c is above all rooms
        if room not in allowed:
            problems.append(f"{path.relative_to(ROOT)}: LAYERS has no room '{room}'")
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = re.match(r'\s*#\s*include\s+"([^"/]+)/', line)
            if found and found[1] in allowed and found[1] not in allowed[room]:
                problems.append(f"{path.relative_to(ROOT)}:{number}: {room} may not include {found[1]}")
    print("\n".join(problems) or "layers: every include is allowed")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
