//! Tokens for the legs that need one: fetched ahead, once for all who wait, never sent when expired.
