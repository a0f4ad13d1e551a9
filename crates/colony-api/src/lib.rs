//! Public JSON types of both APIs, and a thin client.
