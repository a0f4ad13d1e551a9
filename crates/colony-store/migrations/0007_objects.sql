-- Finds the rows that name an object: copies of an artifact share one.
CREATE INDEX artifacts_object ON artifacts (object_key) WHERE object_key IS NOT NULL;
