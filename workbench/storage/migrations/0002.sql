-- Version 2: branches. Rows that are there already are of runs that inherited nothing.

ALTER TABLE runs ADD COLUMN parent_run VARCHAR;
ALTER TABLE runs ADD COLUMN parent_step INTEGER;
ALTER TABLE runs ADD COLUMN branched_by VARCHAR;     -- fork | replay
ALTER TABLE runs ADD COLUMN diverged_steps INTEGER[];

ALTER TABLE steps ADD COLUMN inherited BOOLEAN DEFAULT false;
ALTER TABLE model_calls ADD COLUMN inherited BOOLEAN DEFAULT false;
ALTER TABLE actions ADD COLUMN inherited BOOLEAN DEFAULT false;
ALTER TABLE observations ADD COLUMN inherited BOOLEAN DEFAULT false;
