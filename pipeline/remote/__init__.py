"""Servers that speak OpenAI's chat completions: pages are read by one in place of our own engine.

address    which server, and under which key; also of teachers and judges
client     one HTTP request, and what became of it
question   a page's request as a chat
reply      a chat's answer as a `Generation`
server     pages asked until they are answered, whatever the server's mood
facts      what a job must know of a server: keys, numerics, settings
"""
