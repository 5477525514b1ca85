import ../fixtures/folder
