map baseNameOf [ /a.b_c-d+e /1 /.hidden /_ /+ /- ]
