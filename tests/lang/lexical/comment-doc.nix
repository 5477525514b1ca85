/** the doc comment */
x: x
