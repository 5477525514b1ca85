import <fixtures/folder>
