[ (__add 1 2) (__head [ 5 ]) (__toJSON { }) (__typeOf __currentSystem) ]
