(rec { __overrides = { x = 1; }; a = 5; }).x
