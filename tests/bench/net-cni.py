#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""net-cni - how long the CNI plugins take for a container's network: bridge (with host-local) and portmap, as a runtime
calls them. Argument: rounds. In a network namespace of its own; the namespaces are made by ip, which counts as well."""
import json
import os
import subprocess
import sys
import time

PLUGINS = os.environ.get("CNI_PATH", "/usr/lib/cni")
BRIDGE = {"cniVersion": "0.4.0", "name": "bench", "type": "bridge", "bridge": "cnibench0", "isGateway": True,
          "ipMasq": True, "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.98.240.0/20"}]],
                                   "routes": [{"dst": "0.0.0.0/0"}]}}


def call(plugin, command, name, conf):
    env = {"CNI_COMMAND": command, "CNI_CONTAINERID": name, "CNI_NETNS": f"/run/netns/{name}", "CNI_IFNAME": "eth0",
           "CNI_PATH": PLUGINS, "PATH": os.environ["PATH"]}
    done = subprocess.run([f"{PLUGINS}/{plugin}"], input=json.dumps(conf), env=env, capture_output=True, text=True,
                          check=False)
    if done.returncode:
        sys.exit(f"{plugin} {command}: {done.stdout or done.stderr}")
    return json.loads(done.stdout) if done.stdout else None


def one_round(i):
    name = f"cni-{i}"
    portmap = {"cniVersion": "0.4.0", "name": "bench", "type": "portmap",
               "runtimeConfig": {"portMappings": [{"hostPort": 30000 + i, "containerPort": 80, "protocol": "tcp"}]}}
    start = time.monotonic()
    subprocess.run(["ip", "netns", "add", name], check=True)
    result = call("bridge", "ADD", name, BRIDGE)
    call("portmap", "ADD", name, portmap | {"prevResult": result})
    up = time.monotonic()
    call("portmap", "DEL", name, portmap | {"prevResult": result})
    call("bridge", "DEL", name, BRIDGE)
    subprocess.run(["ip", "netns", "delete", name], check=True)
    return (up - start) * 1000, (time.monotonic() - up) * 1000


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    if not os.path.exists(f"{PLUGINS}/portmap"):
        sys.exit("no CNI plugins here: packaging/install-deps.sh --bench")
    times = [one_round(i) for i in range(rounds)]
    for what, column in ("netns + bridge + portmap ADD", 0), ("portmap + bridge DEL + netns", 1):
        values = sorted(row[column] for row in times)
        print(f"CNI {what:<28} p50 {values[rounds // 2]:8.3f} p99 {values[rounds * 99 // 100]:8.3f}   ms")


main()
