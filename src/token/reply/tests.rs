//! What an answer to a token request says: replies as servers give them, and as they should not.
