"""The whole server over real HTTP with OpenAI's client. One server for all files: starting one takes half a minute."""
