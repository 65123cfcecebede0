#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""JSON Schemas of what the local HTTP services of an ECS agent answer: members, types, and what may be
missing or null. check-schema.py NAME checks the document on standard input and says what is wrong
and where; check-schema.py without a name prints the schemas."""
import json
import sys

import jsonschema


def obj(members, required=(), **more):
    return {"type": "object", "properties": members, "required": sorted(required),
            "additionalProperties": False, **more}


def whole(members, **more):
    return obj(members, members, **more)


def array(item, **more):
    return {"type": "array", "items": item, **more}


def mapping(value, **more):
    return {"type": "object", "additionalProperties": value, **more}


def filled(schema):
    """What is left out when it is empty."""
    return {**schema, {"array": "minItems", "object": "minProperties", "string": "minLength",
                       "integer": "minimum"}[schema["type"]]: 1}


def nullable(schema):
    return {"oneOf": [schema, {"type": "null"}]}


def without(members, *optional):
    return [m for m in members if m not in optional]


TEXT = {"type": "string"}
COUNT = {"type": "integer", "minimum": 0}
INTEGER = {"type": "integer"}
NUMBER = {"type": "number"}
FLAG = {"type": "boolean"}
TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$"}
ID = {"type": "string", "pattern": "^([0-9a-f]{64})?$"}
TEXTS = array(TEXT)
SOME = filled(TEXT)
SOME_TEXTS = filled(TEXTS)
MORE = filled(COUNT)

TASK_STATUS = {"enum": ["NONE", "MANIFEST_PULLED", "CREATED", "RUNNING", "STOPPED"]}
CONTAINER_STATUS = {"enum": ["NONE", "MANIFEST_PULLED", "PULLED", "CREATED", "RUNNING",
                             "RESOURCES_PROVISIONED", "STOPPED"]}
SERVICE_STATUS = {"enum": ["PENDING", "RUNNING", "STOPPED"]}

# ---- task metadata, versions 2 and 3 alike, and 4 ----

PORT_3 = {"ContainerPort": MORE, "Protocol": {"enum": ["tcp", "udp"]}, "HostPort": MORE}
PORT_4 = {**PORT_3, "HostIp": {"enum": ["0.0.0.0", "::"]}}
NETWORK_3 = {"NetworkMode": {"enum": ["bridge", "host", "none", "awsvpc"]},
             "IPv4Addresses": SOME_TEXTS, "IPv6Addresses": SOME_TEXTS}
NETWORK_4 = {**NETWORK_3, "AttachmentIndex": COUNT, "MACAddress": SOME,
             "IPv4SubnetCIDRBlock": SOME, "IPv6SubnetCIDRBlock": SOME,
             "DomainNameServers": SOME_TEXTS, "DomainNameSearchList": SOME_TEXTS,
             "PrivateDNSName": SOME, "SubnetGatewayIpv4Address": SOME,
             "SubnetGatewayIpv6Address": SOME}
VOLUMES = filled(array(obj({"DockerName": SOME, "Source": SOME, "Destination": SOME},
                           minProperties=1)))
CONTAINER_3 = {
    "DockerId": ID, "Name": TEXT, "DockerName": TEXT, "Image": TEXT, "ImageID": TEXT,
    "Ports": filled(array(obj(PORT_3, ["ContainerPort", "Protocol"]))),
    "Labels": filled(mapping(TEXT)), "DesiredStatus": CONTAINER_STATUS, "KnownStatus": CONTAINER_STATUS,
    "ExitCode": INTEGER, "Limits": whole({"CPU": {**NUMBER, "minimum": 2}, "Memory": COUNT}),
    "CreatedAt": TIME, "StartedAt": TIME, "FinishedAt": TIME,
    "Type": {"enum": ["NORMAL", "CNI_PAUSE", "EMPTY_HOST_VOLUME", "NAMESPACE_PAUSE",
                      "MANAGED_DAEMON"]},
    "Health": obj({"status": {"enum": ["HEALTHY", "UNHEALTHY"]}, "statusSince": TIME,
                   "exitCode": {**INTEGER, "not": {"const": 0}}, "output": SOME}),
    "Volumes": VOLUMES, "Networks": filled(array(obj(NETWORK_3, ["NetworkMode"]))),
}
CONTAINER_4 = {
    **CONTAINER_3, "Ports": filled(array(obj(PORT_4, ["ContainerPort", "Protocol"]))),
    "LogDriver": SOME, "LogOptions": filled(mapping(TEXT)), "ContainerARN": SOME,
    "RestartCount": COUNT, "Networks": filled(array(obj(NETWORK_4, ["NetworkMode"]))),
}
CONTAINER_ALWAYS = ["DockerId", "Name", "DockerName", "Image", "ImageID", "DesiredStatus",
                    "KnownStatus", "Limits", "Type"]
TASK_3 = {
    "Cluster": TEXT, "TaskARN": TEXT, "Family": TEXT, "Revision": TEXT,
    "DesiredStatus": TASK_STATUS, "KnownStatus": TASK_STATUS,
    "Limits": obj({"CPU": {**NUMBER, "exclusiveMinimum": 0}, "Memory": MORE}, minProperties=1),
    "PullStartedAt": TIME, "PullStoppedAt": TIME, "ExecutionStoppedAt": TIME,
    "AvailabilityZone": SOME, "Containers": array(obj(CONTAINER_3, CONTAINER_ALWAYS)),
    "TaskTags": filled(mapping(TEXT)), "ContainerInstanceTags": filled(mapping(TEXT)),
}
TAG_ERROR = {"ErrorField": {"enum": ["TaskTags", "ContainerInstanceTags"]}, "ErrorCode": SOME,
             "ErrorMessage": SOME, "StatusCode": MORE, "RequestId": SOME, "ResourceARN": SOME}
TASK_4 = {
    **TASK_3, "Containers": array(obj(CONTAINER_4, CONTAINER_ALWAYS)), "AvailabilityZoneID": SOME,
    "LaunchType": {"enum": ["EC2", "EXTERNAL"]}, "VPCID": SOME, "ServiceName": SOME,
    "FaultInjectionEnabled": FLAG,
    "Errors": filled(array(obj(TAG_ERROR, ["ErrorField", "ErrorCode", "ResourceARN"]))),
}
TASK_ALWAYS = ["Cluster", "TaskARN", "Family", "Revision", "DesiredStatus", "KnownStatus",
               "Containers"]

# ---- statistics ----

BLOCK = nullable(array(whole({"major": COUNT, "minor": COUNT, "op": TEXT, "value": COUNT})))
BLOCKS = ["io_service_bytes_recursive", "io_serviced_recursive", "io_queue_recursive",
          "io_service_time_recursive", "io_wait_time_recursive", "io_merged_recursive",
          "io_time_recursive", "sectors_recursive"]
USAGE = {"total_usage": COUNT, "percpu_usage": array(COUNT), "usage_in_kernelmode": COUNT,
         "usage_in_usermode": COUNT}
THROTTLING = {"periods": COUNT, "throttled_periods": COUNT, "throttled_time": COUNT}
CPU = obj({"cpu_usage": obj(USAGE, without(USAGE, "percpu_usage")), "system_cpu_usage": MORE,
           "online_cpus": MORE, "throttling_data": whole(THROTTLING)},
          ["cpu_usage", "throttling_data"])
INTERFACE = whole({f"{way}_{what}": COUNT for way in ("rx", "tx")
                   for what in ("bytes", "packets", "errors", "dropped")})
STATS_3 = {
    "read": TIME, "preread": TIME, "pids_stats": obj({"current": MORE, "limit": MORE}),
    "blkio_stats": whole({name: BLOCK for name in BLOCKS}), "num_procs": COUNT,
    "storage_stats": obj({}), "cpu_stats": CPU, "precpu_stats": CPU,
    "memory_stats": obj({"usage": MORE, "max_usage": MORE, "stats": filled(mapping(COUNT)),
                         "limit": MORE, "failcnt": MORE}),
    "name": {"type": "string", "pattern": "^/"}, "id": ID, "networks": filled(mapping(INTERFACE)),
}
STATS_4 = {**STATS_3, "network_rate_stats": whole({"rx_bytes_per_sec": NUMBER,
                                                   "tx_bytes_per_sec": NUMBER})}
STATS_ALWAYS = without(STATS_3, "networks")

# ---- credentials, task protection, introspection ----

CREDENTIALS = {"RoleArn": TEXT, "AccessKeyId": TEXT, "SecretAccessKey": TEXT, "Token": TEXT,
               "Expiration": TIME}
PROTECTION = {
    "protection": whole({"ExpirationDate": nullable(TIME), "ProtectionEnabled": FLAG,
                         "TaskArn": TEXT}),
    "failure": whole({"Arn": TEXT, "Detail": nullable(TEXT), "Reason": nullable(TEXT)}),
    "requestID": SOME, "error": obj({"Arn": TEXT, "Code": TEXT, "Message": TEXT},
                                    ["Code", "Message"]),
}
INTROSPECTED = {
    "DockerId": ID, "DockerName": TEXT, "Name": TEXT, "Image": TEXT, "ImageID": TEXT,
    "CreatedAt": TIME, "StartedAt": TIME,
    "Ports": filled(array(obj(PORT_3, ["ContainerPort", "Protocol"]))),
    "Networks": filled(array(obj(NETWORK_3, ["NetworkMode"]))), "Volumes": VOLUMES, "RestartCount": COUNT,
}
INTROSPECTED_TASK = {
    "Arn": TEXT, "DesiredStatus": SERVICE_STATUS, "KnownStatus": SERVICE_STATUS, "Family": TEXT,
    "Version": TEXT,
    "Containers": array(obj(INTROSPECTED, ["DockerId", "DockerName", "Name", "Image", "ImageID"])),
}
INTROSPECTED_TASK = obj(INTROSPECTED_TASK, without(INTROSPECTED_TASK, "DesiredStatus"))
METADATA_FILE = {
    "Cluster": TEXT, "ContainerInstanceARN": TEXT, "TaskARN": TEXT, "TaskDefinitionFamily": TEXT,
    "TaskDefinitionRevision": TEXT, "ContainerName": TEXT, "AvailabilityZone": SOME,
    "HostPrivateIPv4Address": SOME, "HostPublicIPv4Address": SOME, "HostIPv6Address": SOME,
    "ContainerID": ID, "DockerContainerName": TEXT, "ImageID": TEXT, "ImageName": TEXT,
    "PortMappings": filled(array(whole({
        "ContainerPort": MORE, "ContainerPortRange": TEXT, "HostPort": COUNT,
        "BindIp": {"enum": ["0.0.0.0", "::"]}, "Protocol": {"enum": ["tcp", "udp"]}}))),
    "Networks": filled(array(obj(NETWORK_3, ["NetworkMode"]))),
    "MetadataFileStatus": {"enum": ["READY"]},
}
METADATA_FILE_ALWAYS = without(METADATA_FILE, "AvailabilityZone", "HostPrivateIPv4Address",
                               "HostPublicIPv4Address", "HostIPv6Address", "PortMappings")
VERSION = {"type": "string", "pattern": r"^Amazon ECS Agent - v[0-9.]+ \([0-9a-z*]+\)$"}

SCHEMAS = {
    "container_v3": obj(CONTAINER_3, CONTAINER_ALWAYS),
    "container_v4": obj(CONTAINER_4, CONTAINER_ALWAYS),
    "task_v3": obj(TASK_3, TASK_ALWAYS),
    "task_v4": obj(TASK_4, TASK_ALWAYS + ["FaultInjectionEnabled"]),
    "stats_v3": obj(STATS_3, STATS_ALWAYS),
    "stats_v4": obj(STATS_4, STATS_ALWAYS),
    "task_stats_v3": mapping(nullable(obj(STATS_3, STATS_ALWAYS))),
    "task_stats_v4": mapping({"oneOf": [obj({}), obj(STATS_4, STATS_ALWAYS)]}),
    "metadata_file": obj(METADATA_FILE, METADATA_FILE_ALWAYS),
    "associations": whole({"Associations": TEXTS}),
    "credentials": whole(CREDENTIALS),
    "refusal": whole({"code": TEXT, "message": TEXT, "HTTPErrorCode": COUNT}),
    "protection": obj(PROTECTION, minProperties=1),
    "introspection_metadata": whole({"Cluster": TEXT, "ContainerInstanceArn": nullable(TEXT),
                                     "Version": VERSION}),
    "introspection_task": INTROSPECTED_TASK,
    "introspection_none": {"const": {"Arn": "", "KnownStatus": "", "Family": "", "Version": "",
                                     "Containers": None}},
    "introspection_commands": {"const": {"AvailableCommands": ["/v1/metadata", "/v1/tasks",
                                                               "/license"]}},
    "error": SOME,
    "introspection_tasks": whole({"Tasks": array(INTROSPECTED_TASK)}),
}

if len(sys.argv) == 1:
    json.dump(SCHEMAS, sys.stdout, indent=1)
    sys.exit(0)
errors = list(jsonschema.Draft7Validator(SCHEMAS[sys.argv[1]]).iter_errors(json.load(sys.stdin)))
for e in errors:
    print(f"{'/'.join(map(str, e.absolute_path)) or '(the whole)'}: {e.message[:200]}")
sys.exit(1 if errors else 0)
