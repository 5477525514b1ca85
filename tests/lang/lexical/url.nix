[ http://example.org/a?b=c&d=%20 mailto:me@example.org git+ssh://host/path x:y ]
