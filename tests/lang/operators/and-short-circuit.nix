[ (false && throw "never") (true || throw "never") (false -> throw "never") ]
