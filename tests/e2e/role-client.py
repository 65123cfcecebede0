#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A program of a task: has boto3 find credentials by itself and asks the control plane something with
them. role-client.py ENDPOINT TASK-ARN [--forge]: prints one JSON object. With --forge it signs with
the key's id and another secret. Everything it knows comes from the environment it is started with."""
import json
import sys

import boto3
import botocore.exceptions

endpoint, task = sys.argv[1:3]
session = boto3.Session()
found = session.get_credentials()
keys = found.get_frozen_credentials()
secret = "x" * 40 if "--forge" in sys.argv else keys.secret_key
ecs = session.client("ecs", endpoint_url=endpoint, aws_access_key_id=keys.access_key,
                     aws_secret_access_key=secret, aws_session_token=keys.token)
answer = {"method": found.method, "access_key": keys.access_key}
try:
    answer["group"] = ecs.describe_tasks(cluster="lab", tasks=[task])["tasks"][0]["group"]
except botocore.exceptions.ClientError as e:
    answer["error"] = e.response["Error"]["Code"]
print(json.dumps(answer))
