"""How the file of the job store became what it is: one statement after the other."""

COLUMNS = (
    "id, task, title, params, state, fraction, message, created, started, ended, heartbeat, pid, pid_created, "
    "exit_code, error_code, reason, result, host, boot, place, after, needs, environ, gpus, left, waits, beat"
)
JSON_COLUMNS = ("params", "result", "after", "needs", "environ", "gpus")
NOW = "(julianday('now') - 2440587.5) * 86400.0"
MIGRATIONS: tuple[str, ...] = (
    """CREATE TABLE jobs (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        task TEXT NOT NULL,
        title TEXT NOT NULL,
        params TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN
            ('queued', 'starting', 'running', 'stopping', 'succeeded', 'failed', 'stopped', 'lost')),
        fraction REAL NOT NULL DEFAULT 0,
        message TEXT NOT NULL DEFAULT '',
        created REAL NOT NULL,
        started REAL,
        ended REAL,
        heartbeat REAL,
        pid INTEGER,
        pid_created REAL,
        exit_code INTEGER,
        reason TEXT NOT NULL DEFAULT '',
        result TEXT
    )""",
    "CREATE INDEX jobs_state ON jobs (state, seq)",
    # What 0.1.0 wrote becomes the fields of today's tasks.
    "ALTER TABLE jobs ADD COLUMN error_code TEXT NOT NULL DEFAULT ''",
    """UPDATE jobs SET params = json_remove(json_set(params, '$.paths', json(coalesce(
        json_extract(params, '$.paths'), json_array(json_extract(params, '$.path'))))), '$.path')
        WHERE task = 'index'""",
    """UPDATE jobs SET task = 'resume', params = json_remove(params, '$.resume')
        WHERE task = 'train' AND json_extract(params, '$.resume')""",
    """UPDATE jobs SET params = json_remove(json_set(params, '$.run_title',
        coalesce(json_extract(params, '$.title'), '')), '$.title') WHERE task IN ('train', 'import')""",
    """UPDATE jobs SET params = json_remove(json_set(params, '$.run_id', json_extract(params, '$.run')), '$.run')
        WHERE task = 'score'""",
    """UPDATE jobs SET params = json_remove(json_set(params, '$.params', json_extract(params, '$.spec')), '$.spec')
        WHERE task = 'embed'""",
    # The queue knows machines, order, dependencies and needs, and keeps each change of state.
    "ALTER TABLE jobs ADD COLUMN host TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE jobs ADD COLUMN boot TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE jobs ADD COLUMN place REAL NOT NULL DEFAULT 0",
    "UPDATE jobs SET place = seq",
    "ALTER TABLE jobs ADD COLUMN after TEXT NOT NULL DEFAULT '[]'",
    """ALTER TABLE jobs ADD COLUMN needs TEXT NOT NULL DEFAULT '{"memory_bytes": 0, "threads": 1}'""",
    "ALTER TABLE jobs ADD COLUMN environ TEXT NOT NULL DEFAULT '{}'",
    "ALTER TABLE jobs ADD COLUMN gpus TEXT NOT NULL DEFAULT '[]'",
    "ALTER TABLE jobs ADD COLUMN left REAL",
    "ALTER TABLE jobs ADD COLUMN waits TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE jobs ADD COLUMN beat REAL",
    "ALTER TABLE jobs ADD COLUMN same TEXT NOT NULL DEFAULT ''",
    "CREATE TABLE events (job TEXT NOT NULL, time REAL NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL)",
    "CREATE INDEX events_job ON events (job)",
    f"""CREATE TRIGGER job_made AFTER INSERT ON jobs
        BEGIN INSERT INTO events VALUES (new.id, {NOW}, new.state, new.reason); END""",
    f"""CREATE TRIGGER job_moved AFTER UPDATE OF state ON jobs WHEN new.state != old.state
        BEGIN INSERT INTO events VALUES (new.id, {NOW}, new.state, new.reason); END""",
)
