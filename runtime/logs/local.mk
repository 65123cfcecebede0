# runtime/logs/
