//! For MCP servers: protect a resource, exchange tokens, dispatch; the language-neutral gateway
