(import (toString ../fixtures/folder)).name
