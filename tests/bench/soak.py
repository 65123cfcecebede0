#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The measuring half of soak.sh."""
import argparse
import json
import os
import re
import time
import urllib.request

import botocore.session

parser = argparse.ArgumentParser()
parser.add_argument("--lab", required=True)
parser.add_argument("--tasks", type=int, default=500)
opt = parser.parse_args()

CONTROL_PLANE = "http://" + open(f"{opt.lab}/controlplane.addr").read().strip()
ecs = botocore.session.get_session().create_client("ecs", endpoint_url=CONTROL_PLANE)
agent = int(open(f"{opt.lab}/agent.pid").read())
BATCH, SAMPLES = 10, 10


def state():
    text = open(f"/proc/{agent}/smaps_rollup").read()
    pss = {k: int(v) for k, v in re.findall(r"^(Pss|Pss_Anon):\s+(\d+) kB", text, re.M)}
    return pss["Pss"], pss["Pss_Anon"], len(os.listdir(f"/proc/{agent}/fd"))


def run_batch(n):
    answer = ecs.run_task(cluster="lab", taskDefinition="short", count=n)
    if answer["failures"]:
        raise SystemExit(f"run-task: {answer['failures'][0]}")
    waiting = {t["taskArn"] for t in answer["tasks"]}
    deadline = time.monotonic() + 120
    while waiting:
        with urllib.request.urlopen(f"{CONTROL_PLANE}/local/timeline", timeout=10) as reply:
            waiting -= {r["taskArn"] for r in json.load(reply)["tasks"] if r.get("stoppedAt")}
        if time.monotonic() > deadline:
            raise SystemExit(f"{len(waiting)} tasks did not stop within 120 s")
        time.sleep(0.05)


print("| tasks done | agent PSS | of it anonymous | descriptors |\n|---|---|---|---|", flush=True)


def row(done):
    pss, anon, fds = state()
    print(f"| {done} | {pss} KiB | {anon} KiB | {fds} |", flush=True)


row(0)
done = 0
while done < opt.tasks:
    run_batch(min(BATCH, opt.tasks - done))
    done += min(BATCH, opt.tasks - done)
    if done % max(BATCH, opt.tasks // SAMPLES // BATCH * BATCH) == 0:
        row(done)
time.sleep(15)  # the last clean-up, and the look at the heap
print("after 15 s without work:")
row(done)
