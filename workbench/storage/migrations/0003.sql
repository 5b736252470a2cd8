-- Version 3: what judges said.

CREATE TABLE judgements (
    run_id VARCHAR NOT NULL,
    position INTEGER NOT NULL,           -- in the order they were asked for, from 0
    recorded_at TIMESTAMP NOT NULL,
    question VARCHAR NOT NULL,
    judge VARCHAR NOT NULL,
    prompt_hash VARCHAR NOT NULL,
    instructions VARCHAR NOT NULL,
    shown JSON NOT NULL,                 -- SHA-256 by name
    reply VARCHAR NOT NULL,
    scores JSON,                         -- numbers by name; NULL where the reply could not be read
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    cached_tokens BIGINT NOT NULL,
    cost_usd DOUBLE,
    seconds DOUBLE NOT NULL
);
