#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The messages that docs/operating.md explains are those that the programs print. Prints TAP.
set -u
top=${abs_top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
/usr/bin/python3 - "$top" <<'PYTHON'
import pathlib, re, sys

top = pathlib.Path(sys.argv[1])
source = ""
for folder in ("agent", "aws", "cli", "common", "runtime"):
    for path in (top / folder).rglob("*.c"):
        source += path.read_text() + "\n"
source = re.sub(r'"\s*\n\s*"', "", source)  # string literals go over lines
table = (top / "docs/operating.md").read_text().split("\n## Messages\n")[1].split("\n## ")[0]

# What differs: …, words in capitals, names in quotes, numbers, paths.
varies = r"…|'[^']*'|\b[A-Z]+\b|\bi-\d\b|\d+|/\S+|\b\S+\.config\b"


def missing(message):
    if len(max(re.split(varies, message), key=len).strip()) < 8:
        return ["less than eight letters in a row stay the same"]
    return [p.strip(" ():'") for p in re.split(varies, message) if len(p) >= 6 and p.strip(" ():'") not in source]


messages = []
for row in re.findall(r"^\| `(.*?)` ?(.*?) \|", table, re.M):
    if "(systemd)" not in row[1]:
        messages.append(row[0])
for n, message in enumerate(messages, 1):
    odd = missing(message)
    print(f"{'not ok' if odd else 'ok'} {n} - {message}")
    for part in odd:
        print(f"# not in the source: {part}")
lie = bool(missing("The moon of this host is in the wrong phase"))
print(f"{'ok' if lie else 'not ok'} {len(messages) + 1} - what no program prints is noticed")
print(f"1..{len(messages) + 1}")
sys.exit(not lie or any(missing(m) for m in messages) or len(messages) < 20)
PYTHON
