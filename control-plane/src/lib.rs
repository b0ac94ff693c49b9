//! Authorization server and vault of sealed records
