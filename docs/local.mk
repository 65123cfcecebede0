# docs/: architecture, figures, man pages
EXTRA_DIST += docs/operating.md docs/architecture.md docs/errors.md docs/performance.md docs/style.md docs/task-definition.md
dist_man_MANS += docs/man/ecs-controlplane.8
dist_man_MANS += docs/man/ecs-agent.8 docs/man/ecs.config.5 docs/man/ecsctl.1
dist_man_MANS += docs/man/ecs-image.8
