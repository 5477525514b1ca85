let __findFile = path: name: "looked for ${name}"; in <anything/at/all>
