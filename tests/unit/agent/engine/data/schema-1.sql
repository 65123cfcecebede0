-- A database as the first numbered schema wrote it. Never changed: every later release reads it.
CREATE TABLE metadata (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE tasks (
 arn TEXT PRIMARY KEY, sequence INTEGER NOT NULL UNIQUE, definition TEXT NOT NULL,
 known INTEGER NOT NULL, desired INTEGER NOT NULL, sent INTEGER NOT NULL, reason TEXT,
 pull_started_ms INTEGER NOT NULL, pull_stopped_ms INTEGER NOT NULL,
 execution_stopped_ms INTEGER NOT NULL, stopped_ms INTEGER NOT NULL,
 execution_credentials_id TEXT, role_credentials_id TEXT) WITHOUT ROWID;
CREATE TABLE containers (
 task_arn TEXT NOT NULL REFERENCES tasks(arn) ON DELETE CASCADE,
 position INTEGER NOT NULL, name TEXT NOT NULL, known INTEGER NOT NULL,
 desired INTEGER NOT NULL, sent INTEGER NOT NULL, id TEXT NOT NULL,
 docker_name TEXT NOT NULL, image_digest TEXT, image_id TEXT,
 digest_resolved INTEGER NOT NULL, address TEXT NOT NULL, bindings TEXT NOT NULL,
 exit_code INTEGER, error_name TEXT, error_message TEXT, created_ms INTEGER NOT NULL,
 started_ms INTEGER NOT NULL, finished_ms INTEGER NOT NULL, pid INTEGER NOT NULL,
 PRIMARY KEY (task_arn, position)) WITHOUT ROWID;
CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, task_arn TEXT NOT NULL,
 body TEXT NOT NULL);
CREATE INDEX outbox_by_task ON outbox (task_arn, id);
INSERT INTO metadata VALUES ('cluster-name', 'lab');
INSERT INTO metadata VALUES ('container-instance-arn',
 'arn:aws:ecs:eu-west-1:123456789012:container-instance/lab/00112233445566778899aabbccddeeff');
INSERT INTO tasks VALUES ('arn:aws:ecs:eu-west-1:123456789012:task/lab/old1', 7,
 '{"arn":"arn:aws:ecs:eu-west-1:123456789012:task/lab/old1","family":"web","version":"3",'
 || '"desiredStatus":"RUNNING","containers":[{"name":"main","image":"busybox","essential":true,'
 || '"portMappings":[{"containerPort":80}]},{"name":"job","image":"busybox"}]}',
 3, 3, 3, NULL, 1700000000001, 1700000000002, 0, 0, 'exec-id', 'role-id');
INSERT INTO containers VALUES ('arn:aws:ecs:eu-west-1:123456789012:task/lab/old1', 0, 'main', 4, 0, 4,
 '0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef', 'ecs-web-3-main-0123456789abcdef0123',
 'sha256:aa', 'sha256:bb', 1, '172.31.0.9', '[[80,32769,6]]', NULL, NULL, NULL, 1700000000003,
 1700000000004, 0, 4242);
INSERT INTO containers VALUES ('arn:aws:ecs:eu-west-1:123456789012:task/lab/old1', 1, 'job', 5, 5, 5,
 'fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210', 'ecs-web-3-job-0123456789abcdef0123',
 NULL, 'sha256:bb', 0, '', '[]', 3, 'SomeError', 'some message', 1700000000003, 1700000000004,
 1700000000005, 0);
INSERT INTO outbox VALUES (41, 'arn:aws:ecs:eu-west-1:123456789012:task/lab/old1', '{"status":"RUNNING"}');
PRAGMA user_version = 1;
