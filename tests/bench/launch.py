#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The measuring half of launch.sh: drives a laboratory that is up and prints what it took."""
import argparse
import json
import os
import re
import statistics
import subprocess
import tempfile
import time
import urllib.request

import botocore.session

parser = argparse.ArgumentParser()
for name in ("lab", "build", "root"):
    parser.add_argument(f"--{name}", required=True)
parser.add_argument("--tasks", type=int, default=100)
parser.add_argument("--rounds", type=int, default=20)
opt = parser.parse_args()

CONTROL_PLANE = "http://" + open(f"{opt.lab}/controlplane.addr").read().strip()
ecs = botocore.session.get_session().create_client("ecs", endpoint_url=CONTROL_PLANE)


def agent_pid():
    return int(open(f"{opt.lab}/agent.pid").read())


def timeline():
    with urllib.request.urlopen(f"{CONTROL_PLANE}/local/timeline", timeout=10) as answer:
        return {row["taskArn"]: row for row in json.load(answer)["tasks"]}


def percentile(values, p):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(p / 100 * (len(ordered) - 1)))]


def run_tasks(n):
    arns = []
    while n > 0:
        answer = ecs.run_task(cluster="lab", taskDefinition="web", count=min(n, 10))
        if answer["failures"]:
            raise SystemExit(f"run-task: {answer['failures'][0]}")
        arns += [t["taskArn"] for t in answer["tasks"]]
        n -= 10
    return arns


def wait_for(arns, key, seconds=120):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        rows = timeline()
        if all(rows.get(a, {}).get(key) for a in arns):
            return [rows[a] for a in arns]
        time.sleep(0.01 if len(arns) == 1 else 0.1)
    raise SystemExit(f"{key} of {len(arns)} tasks did not come within {seconds} s")


def stop_tasks(arns):
    for arn in arns:
        ecs.stop_task(cluster="lab", task=arn)
    return wait_for(arns, "stoppedAt")


def bare_bundle(directory, number):
    """The agent's own config.json, with an empty network namespace and names of its own."""
    spec = json.load(open(f"{opt.lab}/config.json"))
    spec["root"] = {"path": f"{directory}/merged", "readonly": False}
    for ns in spec["linux"]["namespaces"]:
        if ns["type"] == "network":
            ns.pop("path", None)
    spec["linux"]["cgroupsPath"] = f"/ecs-bench-bare/{os.path.basename(directory)}"
    # The files bound over the root are the agent's; they are gone by now.
    spec["mounts"] = [m for m in spec["mounts"] if not m["destination"].startswith("/etc/")]
    for name in ("upper", "work", "merged"):
        os.makedirs(f"{directory}/{name}")
    json.dump(spec, open(f"{directory}/config.json", "w"))
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o",
                    f"lowerdir={opt.root},upperdir={directory}/upper,workdir={directory}/work",
                    f"{directory}/merged"], check=True)


def bare_run(directory, number):
    ident = f"bare-{number}"
    begin = time.perf_counter()
    subprocess.run(["runc", "--root", f"{opt.lab}/runc-bare", "run", "--detach", "--bundle", directory, ident],
                   check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return (time.perf_counter() - begin) * 1000


def bare_end(directories):
    for number, directory in directories:
        subprocess.run(["runc", "--root", f"{opt.lab}/runc-bare", "delete", "--force", f"bare-{number}"], check=False)
        subprocess.run(["umount", "-l", f"{directory}/merged"], check=False)


def bare_bundles(n, first):
    bundles = []
    for number in range(first, first + n):
        directory = tempfile.mkdtemp(prefix="bare-", dir=opt.lab)
        bare_bundle(directory, number)
        bundles.append((number, directory))
    return bundles


def bare_burst(n):
    """As many at a time as there are cores: what bare runc can do on this machine."""
    bundles = bare_bundles(n, 1000)
    begin = time.perf_counter()
    running = []
    for number, directory in bundles:
        while len(running) >= os.cpu_count():
            running.pop(0).wait()
        running.append(subprocess.Popen(
            ["runc", "--root", f"{opt.lab}/runc-bare", "run", "--detach", "--bundle", directory, f"bare-{number}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    for child in running:
        child.wait()
    took = time.perf_counter() - begin
    bare_end(bundles)
    return n / took


def memory_kib(pid, field):
    text = open(f"/proc/{pid}/smaps_rollup").read()
    return sum(int(v) for v in re.findall(rf"^{field}:\s+(\d+) kB", text, re.M))


def shims():
    """Of this laboratory: others on the machine have another network namespace."""
    here, found = os.readlink("/proc/self/ns/net"), []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if (open(f"/proc/{entry}/comm").read().strip() == "ecs-shim"
                        and os.readlink(f"/proc/{entry}/ns/net") == here):
                    found.append(int(entry))
            except OSError:
                pass
    return found


def cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def restart_agent():
    """From exec until the control plane sees it registered, and until every container is adopted."""
    env = open(f"{opt.lab}/agent/env").read().split("\n")
    os.kill(agent_pid(), 9)
    time.sleep(0.3)
    before = len(timeline_registrations())
    begin = time.time()
    child = subprocess.Popen(["env", "-i", *filter(None, env), f"{opt.build}/ecs-agent"], start_new_session=True,
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    open(f"{opt.lab}/agent.pid", "w").write(str(child.pid))
    while len(timeline_registrations()) == before:
        time.sleep(0.005)
    registered = timeline_registrations()[-1]["at"] - begin * 1000
    return registered


def timeline_registrations():
    with urllib.request.urlopen(f"{CONTROL_PLANE}/local/timeline", timeout=10) as answer:
        return json.load(answer)["registrations"]


rows = []


def row(what, ours, peer="", ratio="", budget=""):
    rows.append((what, ours, peer, ratio, budget))
    print(f"  {what}: {ours} {('| ' + peer) if peer else ''} {ratio}", flush=True)


time.sleep(3)  # idle is after the start, whose code and heap are let go a second later
idle_pss = memory_kib(agent_pid(), "Pss")
singles = bare_bundles(opt.rounds, 0)
launches, bare, stops = [], [], []
for number, directory in singles:  # in turn, so that both see the same machine
    bare.append(bare_run(directory, number))
    arn = run_tasks(1)
    line = wait_for(arn, "runningAt")[0]
    launches.append(line["runningAt"] - line["payloadSentAt"])
    line = stop_tasks(arn)[0]
    stops.append(line["stoppedAt"] - line["stopSentAt"])
bare_end(singles)
p50, p99 = percentile(launches, 50), percentile(launches, 99)
b50, b99 = percentile(bare, 50), percentile(bare, 99)
row("payload sent -> RUNNING received, p50", f"{p50:.1f} ms", f"{b50:.1f} ms", f"{p50 - b50:+.1f} ms", "+10 ms")
row("the same, p99", f"{p99:.1f} ms", f"{b99:.1f} ms", f"{p99 - b99:+.1f} ms", "+25 ms")
row("stop payload sent -> STOPPED received, p50", f"{percentile(stops, 50):.1f} ms", budget="20 ms")

bare_rate = bare_burst(opt.tasks)
arns = run_tasks(opt.tasks)
lines = wait_for(arns, "runningAt")
took = (max(l["runningAt"] for l in lines) - min(l["payloadSentAt"] for l in lines)) / 1000
rate = opt.tasks / took
row(f"burst of {opt.tasks} tasks, all RUNNING", f"{took:.2f} s, {rate:.1f}/s", f"{bare_rate:.1f}/s",
    f"{100 * rate / bare_rate:.0f} %", "80 %")

time.sleep(12)  # and so is this: the agent looks every ten seconds what it can let go
row("agent PSS, idle", f"{idle_pss / 1024:.1f} MiB", budget="6 MiB")
row(f"agent PSS, {opt.tasks} tasks", f"{memory_kib(agent_pid(), 'Pss') / 1024:.1f} MiB", budget="10 MiB")
private = [memory_kib(p, "Private_(?:Clean|Dirty)") for p in shims()]
row("shim private memory, median", f"{statistics.median(private):.0f} KiB", budget="300 KiB")
begin, mark = cpu_seconds(agent_pid()), time.monotonic()
time.sleep(30)
share = 100 * (cpu_seconds(agent_pid()) - begin) / (time.monotonic() - mark)
row(f"agent CPU, {opt.tasks} containers, metrics on", f"{share:.2f} % of a core", budget="0.5 %")
row(f"exec -> registered, {opt.tasks} containers adopted before", f"{restart_agent():.0f} ms", budget="300 ms")
stop_tasks(arns)
os.kill(agent_pid(), 15)
time.sleep(0.5)
row("exec -> registered, no tasks", f"{restart_agent():.0f} ms", budget="50 ms")

kernel = os.uname().release
print(f"\n{os.cpu_count()} cores, Linux {kernel}; bare runc runs the same config.json and root, {opt.rounds} rounds\n")
print("| what | ecs-agent | bare runc | ratio | budget |\n|---|---|---|---|---|")
for r in rows:
    print("| " + " | ".join(r) + " |")
