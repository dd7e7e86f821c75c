"""/v1/responses: OpenAI's other shape of a conversation, asked as chat is and kept for the next turn."""
