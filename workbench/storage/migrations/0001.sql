-- Version 1. What the columns mean is written in docs/store.md. Times are UTC.
-- No table has a key constraint: rows come from journals, and `journals` says how much of each is in, so none comes twice.

CREATE TABLE runs (
    run_id VARCHAR,
    started_at TIMESTAMP NOT NULL,
    finished_at TIMESTAMP,
    status VARCHAR NOT NULL,             -- running | completed | limit | error | interrupted
    task VARCHAR NOT NULL,
    task_hash VARCHAR NOT NULL,
    family VARCHAR NOT NULL,
    suite VARCHAR NOT NULL,
    variant JSON NOT NULL,
    agent VARCHAR NOT NULL,
    model VARCHAR NOT NULL,
    sandbox VARCHAR NOT NULL,
    environment VARCHAR NOT NULL,
    environment_hash VARCHAR,
    epoch INTEGER NOT NULL,
    limits JSON NOT NULL,
    walls VARCHAR[],
    missing_walls VARCHAR[],
    instruction VARCHAR NOT NULL,
    limit_reached VARCHAR,                -- steps | tokens | cost | seconds
    error_kind VARCHAR,
    error_message VARCHAR,
    error_hint VARCHAR,
    success BOOLEAN,
    answer VARCHAR,
    steps INTEGER,
    tokens BIGINT,
    cost_usd DOUBLE,
    seconds DOUBLE,
    version VARCHAR NOT NULL
);

CREATE TABLE steps (
    run_id VARCHAR NOT NULL,
    step INTEGER NOT NULL,
    finished_at TIMESTAMP NOT NULL,
    notes VARCHAR[] NOT NULL
);

CREATE TABLE model_calls (
    run_id VARCHAR NOT NULL,
    step INTEGER NOT NULL,
    recorded_at TIMESTAMP NOT NULL,
    prompt JSON NOT NULL,                -- the messages added since the call before
    text VARCHAR NOT NULL,
    reasoning VARCHAR NOT NULL,
    tool_calls JSON NOT NULL,
    finish_reason VARCHAR NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    cached_tokens BIGINT NOT NULL,
    cost_usd DOUBLE,
    attempts JSON NOT NULL,              -- every request on the wire
    seconds DOUBLE NOT NULL,
    error_message VARCHAR
);

CREATE TABLE actions (
    run_id VARCHAR NOT NULL,
    step INTEGER NOT NULL,
    position INTEGER NOT NULL,
    recorded_at TIMESTAMP NOT NULL,
    code VARCHAR NOT NULL,
    source VARCHAR NOT NULL              -- fence | execute | tool_call
);

CREATE TABLE observations (
    run_id VARCHAR NOT NULL,
    step INTEGER NOT NULL,
    position INTEGER NOT NULL,
    status VARCHAR NOT NULL,             -- ok | error | timeout | interrupted | died | flooded
    outputs JSON NOT NULL,               -- MIME bundles; pictures are {"artifact": sha256}
    error_name VARCHAR,
    error_value VARCHAR,
    traceback VARCHAR,
    namespace JSON NOT NULL,
    seconds DOUBLE NOT NULL,
    dropped_bytes BIGINT NOT NULL,
    note VARCHAR NOT NULL,
    state_lost BOOLEAN NOT NULL
);

CREATE TABLE scores (
    run_id VARCHAR NOT NULL,
    metric VARCHAR NOT NULL,
    is_primary BOOLEAN NOT NULL,
    value DOUBLE,
    normalised DOUBLE,
    success BOOLEAN,
    invalid VARCHAR,
    grader_hash VARCHAR NOT NULL,
    details JSON NOT NULL,
    recorded_at TIMESTAMP NOT NULL
);

CREATE TABLE artifacts (
    sha256 VARCHAR,
    media_type VARCHAR NOT NULL,
    size BIGINT NOT NULL,
    data BLOB NOT NULL
);

CREATE TABLE events (
    run_id VARCHAR NOT NULL,
    seq INTEGER NOT NULL,
    recorded_at TIMESTAMP NOT NULL,
    event VARCHAR NOT NULL,
    data JSON NOT NULL
);

-- How much of each journal is in the tables already.
CREATE TABLE journals (
    run_id VARCHAR,
    bytes BIGINT NOT NULL
);
