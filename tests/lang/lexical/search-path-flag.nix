(import <extra>).name
