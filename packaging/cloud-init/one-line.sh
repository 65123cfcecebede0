#!/bin/sh
# The package is in the image already. ecs-boot.service starts the agent after this.
echo ECS_CLUSTER=my-cluster >>/etc/ecs/ecs.config
