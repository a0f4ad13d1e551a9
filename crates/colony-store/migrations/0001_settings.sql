-- Facts about this colony as a whole.
CREATE TABLE settings (
    name {text} PRIMARY KEY,
    value {text} NOT NULL
){clustered};
