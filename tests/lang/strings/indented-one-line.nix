''  two spaces kept?''
