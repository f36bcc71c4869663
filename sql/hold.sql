/*
 * hold.sql
 */
