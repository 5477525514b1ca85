toString [ /a /b ]
