#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/task-definition.md has a row for every parameter of RegisterTaskDefinition that the installed
botocore knows, each with one of the known answers, and every test named there exists. Prints TAP."""
import json
import os
import pathlib
import re
import sys

TOP = pathlib.Path(os.environ.get("abs_top_srcdir") or pathlib.Path(__file__).resolve().parent.parent)
PAGE = TOP / "docs/task-definition.md"
MODEL = pathlib.Path("/usr/lib/python3/dist-packages/botocore/data/ecs/2014-11-13/service-2.json")
ANSWERS = {"yes", "refused", "recorded", "not placed"}


def parameters(shapes, shape, path):
    """Every member below a structure: "volumes[].host.sourcePath"."""
    for name, member in shapes[shape].get("members", {}).items():
        here, inner = path + name, member["shape"]
        yield here
        while shapes[inner]["type"] == "list":
            here, inner = here + "[]", shapes[inner]["member"]["shape"]
        yield from parameters(shapes, inner, here + ".")


def rows():
    """(parameter, answer, tests) of each row; the heading of the first column is the prefix."""
    prefix = ""
    for line in PAGE.read_text().splitlines():
        if not line.startswith("|"):
            continue
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 4 and cells[1] == "supported":
            prefix = cells[0].strip("`") + "." if cells[0].startswith("`") else ""
        elif len(cells) == 4 and cells[0].startswith("`"):
            for name in cells[0].split(", "):
                yield prefix + name.strip("`"), cells[1], [t for t in cells[3].split(", ") if t]


def main():
    table = list(rows())
    names = [name for name, _, _ in table]
    bad = [f"{name}: '{answer}' is none of {sorted(ANSWERS)}" for name, answer, _ in table if answer not in ANSWERS]
    bad += [f"{name}: more than one row" for name in sorted(set(names)) if names.count(name) > 1]
    bad += [f"{name}: no test is named" for name, answer, tests in table if not tests and answer != "recorded"]
    bad += [f"{name}: there is no tests/{t}" for name, _, tests in table for t in tests
            if not (TOP / "tests" / t).is_file()]
    known = MODEL.is_file()
    shapes = json.loads(MODEL.read_text())["shapes"] if known else {}
    missing = [f"{name}: no row" for name in parameters(shapes, "RegisterTaskDefinitionRequest", "")
               if name not in names] if known else []
    print("1..2")
    for line in bad + missing:
        print("#", line)
    print("not ok 1" if bad else "ok 1", "- rows have an answer and name tests that exist")
    print("not ok 2" if missing else "ok 2", "- every parameter of the model has a row",
          "" if known else "# SKIP no botocore on this host")
    return 1 if bad or missing or not table else 0


sys.exit(main())
